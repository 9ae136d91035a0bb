// Package api is a thin client of the Villa Payment API.
//
// It promises to send exactly what the API's guide shows and to read whatever
// comes back: one request a call, to the configured host and no other, bounded
// in size and time, and every failure classified by what it may have done
// ([Kind]). Amounts keep their digits, `created` is Bangkok time.
package api
