package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

const (
	clientCount = 10
	ownPeople   = 3 // for each client
	thinkTime   = 60 * time.Millisecond
	hangUps     = 30 // one in 30 requests
)

// client sends one request after another, chosen by its seed. Each pair of clients shares one person.
type client struct {
	r      *rig
	number int
	rng    *rand.Rand
	http   *http.Client
	own    []*person
	shared *person
	made   int
}

// crowd is all clients of a run.
type crowd struct {
	clients []*client
	work    sync.WaitGroup
	leave   context.CancelFunc
}

// newCrowd creates the clients and the people that two clients share.
func (r *rig) newCrowd() *crowd {
	c := &crowd{}
	for n := range clientCount {
		c.clients = append(c.clients, r.newClient(n))
	}
	for i := 0; i < clientCount; i += 2 {
		c.clients[i].shared = c.clients[i].register()
		c.clients[i+1].shared = c.clients[i].shared
	}
	return c
}

func (r *rig) newClient(number int) *client {
	return &client{
		r: r, number: number, rng: rand.New(rand.NewPCG(uint64(r.seed), uint64(number+1))),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
	}
}

// start runs all clients until stop.
func (c *crowd) start(ctx context.Context) {
	ctx, c.leave = context.WithCancel(ctx)
	for _, one := range c.clients {
		c.work.Go(func() {
			for testkit.Pause(ctx, between(one.rng, thinkTime/2, thinkTime*3/2)) {
				one.step()
			}
		})
	}
}

// stop waits for the last responses and closes all connections.
func (c *crowd) stop() {
	c.leave()
	c.work.Wait()
	for _, one := range c.clients {
		one.http.CloseIdleConnections()
	}
}

// people returns all users who were not erased.
func (c *crowd) people() (all []*person) {
	for _, one := range c.clients {
		for _, p := range append(slices.Clone(one.own), one.shared) {
			if p != nil && !p.isGone() && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// replica chooses the replica for the next request, mostly the same one. With a load balancer it chooses a ready replica, if
// there is one.
func (c *client) replica() int {
	n := c.number % replicaCount
	if c.rng.IntN(5) == 0 {
		n = (c.number + 1) % replicaCount
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if other := (n + 1) % replicaCount; c.r.ready != nil && !c.r.ready[n] && c.r.ready[other] {
		return other
	}
	return n
}

// step runs one chosen operation.
func (c *client) step() {
	c.own = slices.DeleteFunc(c.own, (*person).isGone)
	if len(c.own) < ownPeople {
		c.register()
		return
	}
	p := c.own[c.rng.IntN(len(c.own))]
	if c.shared != nil && !c.shared.isGone() && c.rng.IntN(3) == 0 {
		p = c.shared
	}
	n := c.rng.IntN(totalWeight)
	for _, choice := range choices {
		if n -= choice.weight; n < 0 {
			choice.do(c, p)
			return
		}
	}
}

// choices are the operations of a client, with their weights.
var choices = []struct {
	weight int
	do     func(*client, *person)
}{
	{20, (*client).read},
	{24, (*client).patch},
	{8, (*client).put},
	{14, (*client).refresh},
	{8, (*client).login},
	{5, (*client).setRoles},
	{5, (*client).setStatus},
	{4, (*client).changePassword},
	{3, (*client).requestReset},
	{3, (*client).sendReset},
	{4, (*client).confirmReset},
	{3, (*client).endSessions},
	{3, (*client).logout},
	{3, (*client).erase},
}

var totalWeight = func() (sum int) {
	for _, choice := range choices {
		sum += choice.weight
	}
	return sum
}()

// hangUp returns the time until the client disconnects during its next request. It is 0 for most requests.
func (c *client) hangUp() time.Duration {
	if c.rng.IntN(hangUps) > 0 {
		return 0
	}
	return between(c.rng, time.Millisecond, 15*time.Millisecond)
}

// register registers a person. If the registration has no response, the client does not use that person again.
func (c *client) register() *person {
	c.made++
	p := &person{email: fmt.Sprintf("person-%d-%d@example.com", c.number, c.made), passwords: []string{c.newPassword()}}
	o, _ := c.send(history.Op{
		Kind: history.Register, Email: p.email,
		Want: history.Want{Name: c.newName(), Password: p.passwords[0]},
	}, call{
		method: "POST", path: "/register", hangUp: c.hangUp(),
		body: map[string]string{"email": p.email, "password": p.passwords[0], "name": c.lastName()},
	})
	if o.Outcome != history.Accepted {
		return nil
	}
	p.id = o.User
	p.learn(o)
	c.own = append(c.own, p)
	return p
}

// newName returns a name that no other request uses.
func (c *client) newName() string {
	c.made++
	return c.lastName()
}

func (c *client) lastName() string { return fmt.Sprintf("Name %d of client %d", c.made, c.number) }

func (c *client) newPassword() string {
	c.made++
	return fmt.Sprintf("seven green kettles %d sing %d", c.made, c.number)
}

// op creates an operation on a person.
func op(kind history.Kind, p *person, want history.Want) history.Op {
	return history.Op{Kind: kind, User: p.id, Email: p.email, Want: want}
}
