package source

import "orderflow/pkg/order"

// Judge decodes one order into a contract's wire type, applies the contract's rules and gives the normalised document and
// the canonical order. The error is a *Fault.
func Judge[W any](body []byte, check func(*W, *Rules), canonical func(*W, []string) order.Order) (doc []byte, o order.Order, err error) {
	wire, rules, err := read(body, check)
	if err != nil {
		return nil, order.Order{}, err
	}
	if fault := rules.Fault(); fault != nil {
		return nil, order.Order{}, fault
	}
	if doc, err = Encode(wire); err != nil {
		return nil, order.Order{}, err
	}
	return doc, canonical(wire, rules.Warnings()), nil
}

// Map reads a normalised document back into the canonical order. It takes the warnings from the rules and refuses by none:
// what an earlier version of validate let through stays readable. The error is a *Fault at a field that cannot be read.
func Map[W any](doc []byte, check func(*W, *Rules), canonical func(*W, []string) order.Order) (order.Order, error) {
	wire, rules, err := read(doc, check)
	if err != nil {
		return order.Order{}, err
	}
	return canonical(wire, rules.Warnings()), nil
}

func read[W any](body []byte, check func(*W, *Rules)) (*W, *Rules, error) {
	wire := new(W)
	if err := Decode(body, wire); err != nil {
		return nil, nil, err
	}
	rules := new(Rules)
	check(wire, rules)
	return wire, rules, nil
}
