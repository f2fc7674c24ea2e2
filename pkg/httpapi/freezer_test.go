package httpapi_test

import (
	"net/url"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"user-service/pkg/postgres/postgrestest"
)

// freezer is a proxy between the service and its own database. It can stop all traffic without closing a connection.
type freezer struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
	dsn   string
}

func newFreezer(t *testing.T) *freezer {
	t.Helper()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "database", "127.0.0.1:0", u.Host)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	u.Host = proxy.Listen
	return &freezer{t: t, proxy: proxy, dsn: u.String()}
}

func (f *freezer) freeze() {
	f.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := `{"name":"freeze-` + stream + `","type":"timeout","stream":"` + stream + `","attributes":{"timeout":0}}`
		if _, err := f.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *freezer) thaw() {
	f.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		if err := f.proxy.Toxics.RemoveToxic(f.t.Context(), "freeze-"+stream); err != nil {
			f.t.Fatal(err)
		}
	}
}
