// Package ledger is the tool's memory: every payment that was asked for, what
// became of it, and how that is known. It promises three things.
//
//   - One open payment: of all processes and machines that share a ledger, one
//     at a time may ask the API for an order, and an order that can still be
//     paid is returned instead of making another ([Ledger.Claim]).
//   - Nothing is lost: a call that returned without an error is on disk (SQLite)
//     or committed by the server (PostgreSQL), and history is only ever appended
//     to ([Ledger.Events]).
//   - Arrival order decides nothing about money: what a payment's charges mean is
//     computed from all that was ever said of them ([Ledger.RecordReport]).
//
// The same SQL runs on both databases; what waits for PostgreSQL is sent together
// (pipeline.go). Times are milliseconds since 1970 by the ledger's own clock: the
// machine's for SQLite, the server's for PostgreSQL.
//
// Errors. [*Error] says that the ledger itself failed: nothing was recorded by
// that call, except if it says that the outcome of a commit is not known.
// [*KeyUsedError] and [ErrClaimLost] are answers, not failures.
package ledger
