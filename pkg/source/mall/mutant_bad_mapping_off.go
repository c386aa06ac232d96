//go:build !mutant_bad_mapping

package mall

// moneyDecimals is how many decimals an amount in yuan may have. A build tag makes it wrong: a journey about the replay of
// what a bad mapping has parked.
const moneyDecimals = 2
