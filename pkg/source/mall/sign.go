package mall

import (
	"crypto/md5"  // the platform's algorithm for brands of EncryptType 1 (protocols 4.1)
	"crypto/sha1" // the platform's algorithm (protocols 4.1)
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"orderflow/pkg/source"
)

// The methods by which a brand signs.
const (
	SHA1 = "sha1"
	MD5  = "md5"
)

// TimestampLayout is how requests and answers write their Timestamp, in GMT+8.
const TimestampLayout = "20060102150405"

// Sign is the signature of a request, and of an answer with its own Timestamp (protocols 4.1 and 4.3): upper-case hex of
// the hash over AppId, Timestamp and Token. The payload is not covered. Any method but MD5 means SHA1, the default.
func Sign(method, appID, timestamp, token string) string {
	text := []byte("AppId=" + appID + "&Timestamp=" + timestamp + "&Token=" + token)
	if method == MD5 {
		sum := md5.Sum(text)
		return strings.ToUpper(hex.EncodeToString(sum[:]))
	}
	sum := sha1.Sum(text)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// VerifySign compares a given signature with the right one in constant time.
func VerifySign(method, appID, timestamp, token, sign string) bool {
	return subtle.ConstantTimeCompare([]byte(sign), []byte(Sign(method, appID, timestamp, token))) == 1
}

var errTimestamp = errors.New("timestamp: 14 digits, yyyyMMddHHmmss, are needed")

// ParseTimestamp reads a Timestamp in GMT+8. Compare it by source.Fresh. The error never quotes the text.
func ParseTimestamp(text string) (time.Time, error) {
	at, err := time.ParseInLocation(TimestampLayout, text, source.Zone)
	if err != nil || len(text) != len(TimestampLayout) {
		return time.Time{}, errTimestamp
	}
	return at, nil
}
