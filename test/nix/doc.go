// Package nix tests the expressions of nix/ with real Nix: that they evaluate to
// what they should, fail where they should, and build images that come out the
// same locally, again, and on a builder that is reached by ssh.
//
// nix/tests/standin takes the place of nixpkgs, so nothing is downloaded. Every
// store is below a temporary directory ([nixStore]), so that ordinary users can
// run the tests where the kernel lets them have namespaces.
package nix
