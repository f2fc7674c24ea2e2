package config

import (
	"errors"
	"net/netip"
	"strings"
)

// Networks are ranges of IP addresses. They are written as CIDRs, or as the address for a range
// of one, with commas between them.
type Networks []netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler. go-envconfig gives it an empty text for a
// variable that is not set.
func (n *Networks) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
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

// String writes the networks as UnmarshalText reads them.
func (n Networks) String() string {
	parts := make([]string, len(n))
	for i, network := range n {
		if parts[i] = network.String(); network.IsSingleIP() {
			parts[i] = network.Addr().String()
		}
	}
	return strings.Join(parts, ",")
}

// parseNetwork turns IPv4 that is mapped into IPv6 into IPv4, the form in which addresses are
// compared with it.
func parseNetwork(s string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(s)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(s); err != nil {
			return netip.Prefix{}, err
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone means nothing to other hosts")
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	const mapped = 128 - 32
	if network.Addr().Is4In6() && network.Bits() >= mapped {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return network.Masked(), nil
}
