// Package checkout is the payer's page: one order, its amount and how long it
// can be paid, the bank's payment widget, and the state as it changes.
//
// It promises that the page is found only by who was given its address, that it
// loads nothing but itself and the bank's script, holds no secret, and never
// says paid before the ledger does. Nothing a browser sends changes a payment,
// except the sandbox's own pay button.
package checkout
