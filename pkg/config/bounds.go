package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// bounds has the values of the tags min and max of a field; an empty string means no bound.
type bounds struct {
	min, max string
}

func boundsOf(in reflect.StructField) bounds {
	return bounds{min: in.Tag.Get("min"), max: in.Tag.Get("max")}
}

// String describes the bounds in words that can follow "a whole number" or "a duration".
func (b bounds) String() string {
	switch {
	case b.max != "":
		return " from " + b.min + " to " + b.max
	case b.min != "":
		return " of at least " + b.min
	default:
		return ""
	}
}

// contain reports whether value, a number or a duration, is within the bounds.
func (b bounds) contain(value reflect.Value) bool {
	return (b.min == "" || compare(value, b.min) >= 0) && (b.max == "" || compare(value, b.max) <= 0)
}

// compare compares a value with a bound. It panics if the tag of the bound is invalid.
func compare(value reflect.Value, bound string) int {
	var limit int64
	var err error
	if value.Type() == reflect.TypeFor[time.Duration]() {
		var d time.Duration
		d, err = time.ParseDuration(bound)
		limit = int64(d)
	} else {
		limit, err = strconv.ParseInt(bound, 10, 64)
	}
	if err != nil {
		panic(fmt.Sprintf("bound of a configuration variable: %v", err))
	}
	if value.CanUint() {
		return cmp.Compare(value.Uint(), uint64(limit)) //nolint:gosec // the bounds of unsigned fields are not negative
	}
	return cmp.Compare(value.Int(), limit)
}
