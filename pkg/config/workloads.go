package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

const (
	// workloadRoleForm is the form of a role's name, as user.ValidRoleName checks it.
	workloadRoleForm = `[a-z0-9][a-z0-9_.-]{0,63}`
	// serviceAccountForm is the namespace and the name of a ServiceAccount of Kubernetes.
	serviceAccountForm = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?`
)

var (
	workloadRole   = regexp.MustCompile(`^` + workloadRoleForm + `$`)
	serviceAccount = regexp.MustCompile(`^` + serviceAccountForm + `$`)
	// workloadSubject is the form of a sub: visible ASCII characters.
	workloadSubject = regexp.MustCompile(`^[!-~]+$`)
)

// maxWorkloadSubject is the maximum length of a sub in bytes. A SPIFFE ID can have this length.
const maxWorkloadSubject = 2048

// RolesBySubject returns the roles of each workload by the sub of its tokens.
func (w Workloads) RolesBySubject() (map[string][]string, error) {
	all := map[string][]string{}
	if strings.TrimSpace(w.Roles) == "" {
		return all, nil
	}
	for entry := range strings.SplitSeq(w.Roles, ",") {
		entry = strings.TrimSpace(entry)
		equals := strings.LastIndex(entry, "=") // a sub may contain =, but no name of a role does
		if equals < 0 {
			return nil, errors.New("has an entry without =")
		}
		sub, err := subjectOf(entry[:equals])
		if err != nil {
			return nil, err
		}
		if _, twice := all[sub]; twice {
			return nil, errors.New("names a workload twice")
		}
		for role := range strings.SplitSeq(entry[equals+1:], "+") {
			if !workloadRole.MatchString(role) {
				return nil, errors.New("has an entry whose roles are not names of roles, separated by +")
			}
			all[sub] = append(all[sub], role)
		}
	}
	return all, nil
}

// subjectOf returns the sub for a name in WORKLOAD_ROLES: the name itself, or the sub of a Kubernetes ServiceAccount.
func subjectOf(key string) (string, error) {
	if strings.Contains(key, ":") {
		if len(key) > maxWorkloadSubject || !workloadSubject.MatchString(key) {
			return "", errors.New("has a sub that is not 1 to 2048 visible ASCII characters")
		}
		return key, nil
	}
	if !serviceAccount.MatchString(key) {
		return "", errors.New("has a key that is neither namespace/serviceaccount nor a sub with a colon")
	}
	namespace, name, _ := strings.Cut(key, "/")
	return fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name), nil
}

func (w *Workloads) check(found findings) {
	found.require(w.Issuer == "" || isHTTPS(w.Issuer) && !strings.Contains(w.Issuer, "?"), "WORKLOAD_ISSUER",
		"is not an https URL without user, query and fragment")
	found.require(w.JWKSURL == "" || isHTTPS(w.JWKSURL), "WORKLOAD_JWKS_URL", "is not an https URL without user and fragment")
	for name, file := range map[string]string{"WORKLOAD_CA_FILE": w.CAFile, "WORKLOAD_TOKEN_FILE": w.TokenFile} {
		found.require(file == "" || isReadable(file), name, "can't be read")
	}
	_, err := w.RolesBySubject()
	found.require(err == nil, "WORKLOAD_ROLES", fmt.Sprint(err))
	settings := map[string]string{
		"WORKLOAD_JWKS_URL": w.JWKSURL, "WORKLOAD_CA_FILE": w.CAFile, "WORKLOAD_TOKEN_FILE": w.TokenFile, "WORKLOAD_ROLES": w.Roles,
	}
	for name, value := range settings {
		found.require(value == "" || w.Issuer != "" || found.has("WORKLOAD_ISSUER"), name, "is set, and WORKLOAD_ISSUER is not")
	}
}

// check refuses an issuer of workloads that is also the issuer of this service: the iss of a token selects the verifier.
func (c *Config) check(found findings) {
	found.require(c.Workloads.Issuer == "" || c.Workloads.Issuer != c.Tokens.Issuer, "WORKLOAD_ISSUER",
		"is the same as JWT_ISSUER, and the issuer decides how a token is verified")
}

// isHTTPS reports whether s is an https URL that can identify an issuer or its keys.
func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && !strings.Contains(s, "#")
}
