package main

import (
	"net/http"

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
)

// meaning says what an answer means, and what its reader can do.
type meaning struct{ what, next string }

var (
	again = meaning{
		"Kafka is away or ingest is full; nothing was stored",
		"send the same push again after the time in Retry-After; an SRE looks at ingest's /readyz",
	}
	tooLarge  = meaning{"the body is over 1 MiB", "send fewer orders or lines at once"}
	clock     = meaning{"the signature is right, but its time is too far from ingest's", "compare this machine's clock with ingest's; the allowed difference is SIGNATURE_WINDOW"}
	badSecret = meaning{
		"ingest knows another secret than the one that signed, or the time is too far off",
		"compare the setting here with ingest's; in the folder of a running `make run`, .local/env has the right ones",
	}
	unlisted = meaning{"ingest answered what this contract does not know", "see that the address is ingest's, and not a proxy's or another service's"}
)

// meanings by the sender's own code.
var meanings = map[order.Source]map[string]meaning{
	order.ICBU: {
		"sign-check-failure":   badSecret,
		"unreadable-body":      {"the body is not one JSON object in the charset of its Content-Type; it is kept in quarantine", "mend the JSON: each name once, UTF-8, at most 64 levels deep"},
		"missing-order-no":     {"an order to be created needs ali_order_no; it is kept in quarantine", "give the order its number"},
		"okki-unavailable":     {"a price query (action 0) is passed to OKKI, which did not answer within 2 s", "ask again later; nothing was stored"},
		"try-again":            again,
		"body-too-large":       tooLarge,
		"unsupported-encoding": {"the body is compressed", "send it as it is"},
	},
	order.Procurement: {
		"1": again,
	},
	order.Mall: {
		"303":  {"Args is no JSON array of orders; it is kept in quarantine", "mend the JSON: each name once, UTF-8, no comma behind the last element"},
		"306":  {"the form cannot be read", "send AppId, Timestamp, Sign, AppSystem and Args, each once, uncompressed"},
		"307":  {"the batch is empty", "send at least one order"},
		"308":  clock,
		"400":  {"the address that the call came from is not allowed", "ask an SRE"},
		"405":  {"ingest knows another token for this AppId than the one that signed", "compare MALL_APPS here with ingest's; in the folder of a running `make run`, .local/env has the right one"},
		"406":  {"more than 100 orders, or orders of several ShopCodes in one batch; it is kept in quarantine", "one ShopCode and at most 100 orders a push"},
		"500":  again,
		"1000": {"ingest does not know this AppId", "compare MALL_APPS here with ingest's"},
		"1001": tooLarge,
		"1200": {"the batch holds the same Code twice; it is kept in quarantine", "send each order once; a change of it is a push of its own"},
	},
}

// explain finds the meaning of a refusal.
func explain(source order.Source, a sender.Answer) meaning {
	switch {
	case a.Again:
		return again
	case a.Status == http.StatusRequestEntityTooLarge:
		return tooLarge
	case a.Status == http.StatusNotFound && source == order.Procurement:
		return meaning{"ingest does not know the token in the address", "compare PROCUREMENT_TOKENS here with ingest's; in the folder of a running `make run`, .local/env has the right one"}
	}
	if m, ok := meanings[source][a.Code]; ok {
		return m
	}
	return unlisted
}
