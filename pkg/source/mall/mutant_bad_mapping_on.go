//go:build mutant_bad_mapping

package mall

// moneyDecimals is wrong on purpose: amounts are taken for fen, and those with decimals are refused.
const moneyDecimals = 0
