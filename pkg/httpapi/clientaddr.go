package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr returns where a request comes from: the peer's address, unless the peer is a
// trusted proxy. Each proxy appends the address of its own peer to X-Forwarded-For, so
// the header is read from its end for as long as whoever wrote an entry is trusted: what
// stands before an entry of an untrusted client is that client's invention. An entry that is
// no address ends the search at the last one that was good. The result is the zero Addr where
// the peer has no IP address.
func clientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr, _ := parseAddr(r.RemoteAddr)
	lines := r.Header["X-Forwarded-For"]
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			if !isTrusted(addr, trusted) {
				return addr
			}
			var entry string
			line, entry, more = cutLast(line)
			before, ok := parseAddr(entry)
			if !ok {
				return addr
			}
			addr = before
		}
	}
	return addr
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// cutLast cuts the last entry off a list. more is false if it was the only one.
func cutLast(list string) (rest, last string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

// parseAddr reads an address, which may have a port, brackets, or both. It gives each address
// one form: IPv4 mapped into IPv6 becomes IPv4, and a zone, which means nothing elsewhere, is dropped.
func parseAddr(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	addr, err := netip.ParseAddr(s)
	if inner, bracketed := strings.CutPrefix(s, "["); err != nil && bracketed && strings.HasSuffix(inner, "]") {
		addr, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
	}
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(s)
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), err == nil
}
