// Package e2e holds the journeys: orders that travel through the built binaries as real processes, with a real PostgreSQL,
// on kfake and on a real Apache Kafka. What the outside sees is read by another client than the one that wrote it
// (kafka-go), from the partners' stand-ins and from PostgreSQL.
//
// The journeys carry the build tag e2e, so that the unit tests do not start them:
//
//	go test -tags e2e ./services/e2e            all of them
//	go test -tags e2e ./services/e2e -run /kfake  without Java
//	E2E_REPLAY_LETTERS=10000 go test -tags e2e -v ./services/e2e -run BadMapping  a large replay, with its figures
package e2e
