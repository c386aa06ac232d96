package main

import (
	"crypto/rand"
	"crypto/subtle"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/partner"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/source"
)

// okkiWrapper is the TOP wrapper of the method's answers.
const okkiWrapper = "qimen_alibaba_okki_customer_order_create_response"

// okkiOrder is what the sandbox reads of seed 000's document.
type okkiOrder struct {
	Number   partner.Scalar  `json:"ali_order_no"`
	Amount   partner.Scalar  `json:"amount"`
	Original partner.Scalar  `json:"original_amount"`
	Action   *partner.Scalar `json:"action"`
	Lines    []struct {
		Amount partner.Scalar `json:"amount"`
	} `json:"order_product_list"`
}

// priceQuery tells whether the call asks for a price only; an absent action counts as 1, create.
func (o okkiOrder) priceQuery() bool { return o.Action != nil && *o.Action == "0" }

// serveOKKI is the TOP/Qimen gateway with OKKI behind it.
func (s *sandbox) serveOKKI(w http.ResponseWriter, r *http.Request) {
	_, leave := s.book.enter(partnerOKKI)
	defer leave()
	body, err := readBody(w, r)
	if err != nil {
		http.Error(w, "request entity too large", http.StatusRequestEntityTooLarge)
		return
	}
	if code, message := s.verifyOKKI(r, body); code != 0 {
		writeJSON(w, topError(code, message, "", ""))
		return
	}
	document, refusal := readOKKI(body)
	if refusal != nil {
		writeJSON(w, refusal)
		return
	}
	s.book.sawBatch(partnerOKKI, 1)
	number := string(document.Number)
	s.underFaults(w, r, partnerOKKI, []string{number}, okkiFault, func() []byte {
		if document.priceQuery() {
			return okkiPrices(body, document)
		}
		if !s.book.take(partnerOKKI, []item{{number: number, amount: string(document.Amount)}}, s.now()) {
			return topError(15, "Remote service error", okki.DuplicateCode, "order exists")
		}
		return okkiSuccess(body)
	})
}

// verifyOKKI applies the gateway's checks; the code is one of protocols 2.4, 0 when all is well.
func (s *sandbox) verifyOKKI(r *http.Request, body []byte) (code int, message string) {
	params := r.URL.Query()
	method := params.Get("sign_method")
	if method == "" {
		method = okki.MD5
	}
	wanted := okki.Sign(method, s.okki.AppSecret, params, body)
	switch {
	case r.Method != http.MethodPost:
		return 9, "Http action not allowed"
	case params.Get("method") == "":
		return 21, "Missing method"
	case params.Get("method") != okki.Method:
		return 22, "Invalid method"
	case params.Get("format") != "json" || !jsonBody(r):
		return 23, "Invalid format"
	case params.Get("app_key") == "":
		return 28, "Missing app key"
	case params.Get("app_key") != s.okki.AppKey || params.Get("target_app_key") != s.okki.TargetAppKey:
		return 29, "Invalid app key"
	case params.Get("v") == "":
		return 32, "Missing version"
	case params.Get("v") != "2.0":
		return 33, "Invalid version"
	case params.Get("timestamp") == "":
		return 30, "Missing timestamp"
	case !s.timely(params.Get("timestamp"), source.TimeLayout):
		return 31, "Invalid timestamp"
	case params.Get("sign") == "":
		return 24, "Missing signature"
	case wanted == "" || subtle.ConstantTimeCompare([]byte(wanted), []byte(params.Get("sign"))) != 1:
		return 25, "Invalid signature"
	}
	return 0, ""
}

// timely tells whether a caller's timestamp is inside the window.
func (s *sandbox) timely(timestamp, layout string) bool {
	at, err := time.ParseInLocation(layout, timestamp, source.Zone)
	return err == nil && s.now().Sub(at).Abs() <= clockWindow
}

func jsonBody(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mediaType == "application/json"
}

func readOKKI(body []byte) (okkiOrder, []byte) {
	var document okkiOrder
	if jsontext.Value(body).Kind() != '{' || json.Unmarshal(body, &document) != nil {
		return okkiOrder{}, topError(41, "Invalid arguments", "isv.invalid-parameter", "body")
	}
	if document.Number == "" && !document.priceQuery() {
		return okkiOrder{}, topError(40, "Missing required arguments", "isv.missing-parameter", "ali_order_no")
	}
	return document, nil
}

func topError(code int, message, subCode, subMessage string) []byte {
	type content struct {
		Code       int    `json:"code"`
		Message    string `json:"msg"`
		SubCode    string `json:"sub_code,omitzero"`
		SubMessage string `json:"sub_msg,omitzero"`
		RequestID  string `json:"request_id"`
	}
	return encode(map[string]content{"error_response": {code, message, subCode, subMessage, requestID()}})
}

// okkiFault answers with a fault's code: a platform code (below 100) or a sub_code as the gateway's error, any other code
// as OKKI's own refusal.
func okkiFault(f fault) []byte {
	code, err := strconv.Atoi(string(f.Code))
	if err == nil && code < 100 {
		return topError(code, "fault on demand", f.SubCode, f.SubMsg)
	}
	if f.SubCode != "" {
		return topError(15, "Remote service error", f.SubCode, f.SubMsg)
	}
	return wrapOKKI(map[string]any{"success": false, "resp_code": string(f.Code), "resp_msg": "failure", "error_desc": f.SubMsg})
}

func wrapOKKI(answer any) []byte { return encode(map[string]any{okkiWrapper: answer}) }

func requestID() string { return rand.Text()[:16] }
