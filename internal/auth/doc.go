// Package auth signs people and scripts in to a Cognito user pool, keeps their
// tokens, and hands out an ID token that is fresh enough to use.
//
// It promises that a password or a code is sent once and never resent, that an
// outage is never reported as a wrong password, that secrets reach the disk
// encrypted, or plain after a warning, and that any number of processes share one
// session: one refreshes it under a lock, the others read what it saved. Nothing
// happens before a token is asked for: no keyring, no network, no file.
package auth
