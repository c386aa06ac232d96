package main

import (
	"strconv"
	"time"

	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

// mallStatus is one of EZR's own status codes (protocols 4.3) with the text that goes with it.
type mallStatus struct {
	code int
	text string
}

// The codes that ingest answers with. Trouble of our own is EZR's 500, which tells a connector to send the identical
// request again.
var (
	mallSuccess     = mallStatus{200, "成功"}
	mallBadJSON     = mallStatus{303, "JSON格式错误"}
	mallUnsupported = mallStatus{306, "参数格式错误:不支持压缩"}
	mallEmpty       = mallStatus{307, "数据为空"}
	mallClock       = mallStatus{308, "时间戳超出有效范围"}
	mallBadSign     = mallStatus{405, "签名错误"}
	mallBadBatch    = mallStatus{406, "数据校验失败:最多100个订单且渠道代码必须相同"}
	mallAgain       = mallStatus{500, "服务繁忙,请稍后重试"}
	mallUnknownApp  = mallStatus{1000, "AppId错误"}
	mallTooLarge    = mallStatus{1001, "数据过长"}
	mallTwice       = mallStatus{1200, "订单编号重复"}
)

// cause is why a push answered so is in quarantine.
func (s mallStatus) cause() cause {
	switch s {
	case mallUnknownApp:
		return unknownApp
	case mallBadSign:
		return badSignature
	case mallClock:
		return stale
	case mallBadJSON:
		return badJSON
	default:
		return badBatch
	}
}

// mallSigner signs an answer as its caller signed the call, or not at all when it is nil. Only a caller whose signature
// and clock were right gets one: an answer's signature is good for a request too, so anybody else could ask us for it.
type mallSigner mallApp

// mallRefusal is an answer with a status other than success. With a signer the caller is proven.
func mallRefusal(status mallStatus, signer *mallSigner) verdict {
	why := status.cause()
	return verdict{cause: why, trusted: signer != nil, outcome: string(why), answer: told(mallAnswer(status, 0, signer))}
}

func (d *mallDialect) trouble(t trouble) []byte {
	switch t {
	case tooLarge:
		return mallAnswer(mallTooLarge, 0, nil)
	case unsupported:
		return mallAnswer(mallUnsupported, 0, nil)
	default:
		return mallAnswer(mallAgain, 0, nil)
	}
}

// mallAnswer is EZR's answer shape; Result is the number of orders taken.
func mallAnswer(status mallStatus, orders int, signer *mallSigner) []byte {
	timestamp, sign := time.Now().In(source.Zone).Format(mall.TimestampLayout), ""
	if signer != nil {
		sign = mall.Sign(signer.method, signer.id, timestamp, signer.token)
	}
	b := make([]byte, 0, 256)
	b = append(b, `{"Status":`...)
	b = strconv.AppendBool(b, status == mallSuccess)
	b = append(b, `,"StatusCode":`...)
	b = strconv.AppendInt(b, int64(status.code), 10)
	b = append(b, `,"Msg":"`...)
	b = append(b, status.text...)
	b = append(b, `","Timestamp":"`...)
	b = append(b, timestamp...)
	b = append(b, `","Sign":"`...)
	b = append(b, sign...)
	b = append(b, `","Result":`...)
	b = strconv.AppendInt(b, int64(orders), 10)
	return append(b, '}')
}
