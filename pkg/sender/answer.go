package sender

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// readAnswer reads an answer in the source's dialect. What is no such answer is not accepted and has no code.
func readAnswer(from order.Source, body []byte) Answer {
	switch from {
	case order.ICBU:
		return readICBU(body)
	case order.Procurement:
		return readProcurement(body)
	default:
		return readMall(body)
	}
}

// readICBU: `success` true and `resp_code` "0"; siblings of the method write them as text and as number (protocols 1.3).
func readICBU(body []byte) Answer {
	var a struct {
		Success   jsontext.Value `json:"success"`
		RespCode  jsontext.Value `json:"resp_code"`
		RespMsg   string         `json:"resp_msg"`
		ErrorDesc string         `json:"error_desc"`
	}
	if json.Unmarshal(body, &a) != nil {
		return Answer{}
	}
	text := a.RespMsg
	if a.ErrorDesc != "" {
		text = a.ErrorDesc // a refusal explains itself there
	}
	code := source.Literal(a.RespCode)
	success := string(a.Success) == "true" || source.Literal(a.Success) == "true"
	return Answer{Accepted: success && code == "0", Code: code, Text: text}
}

// readProcurement: code 0 outside and "1" inside (protocols 3.3).
func readProcurement(body []byte) Answer {
	var a struct {
		Code *int   `json:"code"`
		Msg  string `json:"msg"`
		Data struct {
			Code string `json:"code"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &a) != nil || a.Code == nil {
		return Answer{}
	}
	return Answer{Accepted: *a.Code == 0 && a.Data.Code == "1", Code: strconv.Itoa(*a.Code), Text: a.Msg}
}

// readMall: `Status` alone decides (protocols 4.3).
func readMall(body []byte) Answer {
	var a struct {
		Status     bool   `json:"Status"`
		StatusCode int    `json:"StatusCode"`
		Msg        string `json:"Msg"`
	}
	if json.Unmarshal(body, &a) != nil || a.StatusCode == 0 {
		return Answer{}
	}
	return Answer{Accepted: a.Status, Code: strconv.Itoa(a.StatusCode), Text: a.Msg}
}
