"""Parts of .ci/run, each in an environment of its own; ``nox -l`` lists them."""

import nox

nox.options.sessions = ["lint", "tests"]


@nox.session
def lint(session):
    session.install(".[dev]")
    session.run(".ci/lint", external=True)


@nox.session(python=["3.10", "3.11", "3.12", "3.13", "3.14"])
def tests(session):
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def bench(session):
    session.install(".[bench]")
    session.run("python", "-m", "bench", *session.posargs)
