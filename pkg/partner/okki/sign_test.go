package okki

import (
	"net/url"
	"testing"
)

// The published TOP vector and its computed siblings, protocols 2.5.
func TestSignVectors(t *testing.T) {
	for method, want := range map[string]string{
		MD5:        "66987CB115214E59E6EC978214934FB8",
		HMAC:       "D56D7858309C31B6251083A874D48273",
		HMACSHA256: "04DB15AD0774D5CFCE2C837DE43E3FCEA9011ED74F3038FB6AB5F3C4CEA119E8",
		"sha1":     "",
	} {
		params := url.Values{
			"app_key": {"12345678"}, "fields": {"num_iid,title,nick,price,num"}, "format": {"json"},
			"method": {"taobao.item.seller.get"}, "num_iid": {"11223344"}, "session": {"test"},
			"sign_method": {method}, "timestamp": {"2016-01-01 12:00:00"}, "v": {"2.0"},
		}
		if got := Sign(method, "helloworld", params, nil); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
		params["partner_id"] = []string{""}
		params["blank"] = []string{" \t"}
		params[" "] = []string{"x"}
		params["sign"] = []string{"ABC"}
		if got := Sign(method, "helloworld", params, nil); got != want {
			t.Errorf("%s: blank pairs and the sign itself changed it to %s", method, got)
		}
	}
}

// The SPI vectors have no blank pair, so a caller's MD5 over parameters and body is the same.
func TestSignBody(t *testing.T) {
	params := url.Values{
		"method": {Method}, "app_key": {"12345678"}, "timestamp": {"2024-03-01 12:00:00"}, "v": {"2.0"}, "format": {"json"},
		"sign_method": {"md5"}, "target_app_key": {"87654321"},
	}
	for body, want := range map[string]string{
		`{"action":"1","ali_order_no":"P0001","amount":"100.00"}`: "8CD0C160EF8FC5F13472EE14D987E37A",
		`{"action":"1","product_name":"小满"}`:                      "1F465859BEF7D41D6454E73A8B760188",
	} {
		if got := Sign(MD5, "testsecret0123456789abcdef", params, []byte(body)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}
