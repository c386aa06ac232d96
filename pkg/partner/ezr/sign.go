package ezr

import (
	"crypto/md5"  //nolint:gosec // the contract's algorithm
	"crypto/sha1" //nolint:gosec // the contract's algorithm
	"encoding/hex"
	"strings"
)

// sign is EZR's formula of protocols 4.1; it covers no payload.
func sign(method, appID, timestamp, token string) string {
	text := []byte("AppId=" + appID + "&Timestamp=" + timestamp + "&Token=" + token)
	if method == "md5" {
		sum := md5.Sum(text) //nolint:gosec // the contract's algorithm
		return strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	sum := sha1.Sum(text) //nolint:gosec // the contract's algorithm
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
