#!/usr/bin/env python3
"""Writes foreign.json: hashes of passwords by other people's programs.

Usage: python3 foreign.py > foreign.json

Needs bcrypt, argon2-cffi, passlib and Django, such as Debian's packages python3-bcrypt,
python3-argon2, python3-passlib and python3-django. Salts are random, so each run
writes other hashes, which must pass the same tests. The costs are low to keep the tests
short, save some with the programs' own defaults.
"""

import json

import argon2
import bcrypt
import django
import passlib
from argon2.low_level import Type
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from passlib.hash import argon2 as passlib_argon2
from passlib.hash import bcrypt as passlib_bcrypt
from passlib.hash import pbkdf2_sha256

settings.configure()

PASSWORDS = [
    "correct horse battery staple",
    "short",
    "p\u00e4ssw\u00f6rter f\u00fcr \u00c4ngstr\u00f6m \U0001f511",
    "\ufb01sh and 10 \u212b",  # a ligature and the sign of the ångström: not in NFKC form
    "decomposed e\u0301",  # not in NFC form
    "exactly seventy-two bytes of a password, which is the most bcrypt sees..",
    "more than seventy-two bytes of a password, of which bcrypt ignores all that follows here",
    "the seventy-second byte is in the middle of a character, in the word na\u00efve",
]


def django_hash(password, iterations=None):
    hasher = PBKDF2PasswordHasher()
    return hasher.encode(password, hasher.salt(), iterations)


def cffi(kind, **costs):
    return argon2.PasswordHasher(type=kind, **costs).hash


FORMATS = [
    ("bcrypt " + bcrypt.__version__, {
        "$2b$": lambda p: bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode(),
        "$2a$": lambda p: bcrypt.hashpw(p.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode(),
    }),
    ("passlib " + passlib.__version__, {
        "$2b$": passlib_bcrypt.using(rounds=5).hash,
        "$2y$": passlib_bcrypt.using(rounds=4, ident="2y").hash,
        "$pbkdf2-sha256$": pbkdf2_sha256.using(rounds=1000).hash,
        "$pbkdf2-sha256$, salt of 1 byte": pbkdf2_sha256.using(rounds=1, salt_size=1).hash,
        "$pbkdf2-sha256$, salt of 64 bytes": pbkdf2_sha256.using(rounds=10, salt_size=64).hash,
        "$argon2id$": lambda p: passlib_argon2.using(type="ID", rounds=1, memory_cost=64, parallelism=2).hash(p),
        "$argon2i$": lambda p: passlib_argon2.using(type="I", rounds=2, memory_cost=64, parallelism=2).hash(p),
    }),
    ("argon2-cffi " + argon2.__version__, {
        "$argon2id$": cffi(Type.ID, time_cost=1, memory_cost=128, parallelism=1),
        "$argon2i$": cffi(Type.I, time_cost=3, memory_cost=100, parallelism=3, salt_len=24, hash_len=48),
    }),
    ("Django " + django.get_version(), {
        "pbkdf2_sha256$": lambda p: django_hash(p, 1000),
    }),
]

DEFAULTS = [
    ("passlib " + passlib.__version__, "$2b$", passlib_bcrypt.hash),
    ("passlib " + passlib.__version__, "$pbkdf2-sha256$", pbkdf2_sha256.hash),
    ("argon2-cffi " + argon2.__version__, "$argon2id$", argon2.PasswordHasher().hash),
    ("Django " + django.get_version(), "pbkdf2_sha256$", django_hash),
]


def vectors():
    for by, formats in FORMATS:
        for form, make in formats.items():
            for password in PASSWORDS:
                yield {"by": by, "format": form, "password": password, "hash": make(password)}
    for by, form, make in DEFAULTS:
        yield {"by": by, "format": form + ", defaults", "password": PASSWORDS[0], "hash": make(PASSWORDS[0])}


print("[\n" + ",\n".join(json.dumps(v, ensure_ascii=False) for v in vectors()) + "\n]")
