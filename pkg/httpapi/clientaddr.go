package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr returns the address of the client: the peer's address, unless the peer is a trusted proxy.
//
// Each proxy appends the address of its own peer to X-Forwarded-For. So clientAddr reads the entries from the last to the first, as long as
// a trusted proxy has written them. An untrusted client can invent all entries before its own. An invalid entry ends the search, and the
// last valid address is the result. The result is the zero Addr if the peer does not have an IP address.
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

// cutLast cuts the last entry off a list. more is false if there was only one entry.
func cutLast(list string) (rest, last string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	if comma < 0 {
		return "", list, false
	}
	return list[:comma], list[comma+1:], true
}

// parseAddr parses an IP address, which may have a port, brackets, or both. It converts an IPv4 address mapped into IPv6 to IPv4, and
// drops the zone, which is valid on one host only.
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
