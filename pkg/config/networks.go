package config

import (
	"errors"
	"net/netip"
	"strings"
)

// Networks are ranges of IP addresses, written as CIDRs or single addresses, separated by commas.
type Networks []netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Networks) UnmarshalText(text []byte) error {
	var all Networks
	for part := range strings.SplitSeq(string(text), ",") {
		network, err := parseNetwork(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		all = append(all, network)
	}
	*n = all
	return nil
}

// String returns the form that UnmarshalText parses.
func (n Networks) String() string {
	parts := make([]string, len(n))
	for i, network := range n {
		if parts[i] = network.String(); network.IsSingleIP() {
			parts[i] = network.Addr().String()
		}
	}
	return strings.Join(parts, ",")
}

// parseNetwork parses a CIDR or an address. It converts IPv4-mapped IPv6 addresses to IPv4, because the addresses of clients are
// converted in the same way.
func parseNetwork(s string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(s)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(s); err != nil {
			return netip.Prefix{}, err
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone is only valid on one host")
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	const mapped = 128 - 32
	if network.Addr().Is4In6() && network.Bits() >= mapped {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return network.Masked(), nil
}
