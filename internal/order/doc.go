// Package order holds the rules about money: what an order, a payment, a charge
// and a code are, and everything that follows from them.
//
// It promises to be pure. It does no I/O, reads no clock, and imports nothing of
// ours: callers pass in times and what was heard. The rules that every command
// relies on have their one home here: [Decode] reads an order, [Order.Life] says
// how long it can be paid, [Resolve] computes what a Villa order's payments are
// from everything ever said about its charges, [Payment.Payable] says whether a
// code may be shown, and [Answering] and [Open] pick the payment that answers
// for a Villa order.
//
// Amounts are exact decimals with the digits they came with, never floats.
package order
