// Package api is a thin client of the Villa Payment API.
//
// Each call sends one request, only to the configured host, with limits on size and
// time. Every failure is classified by what it may have done ([Kind]). Amounts keep
// their digits; `created` is Bangkok time.
package api
