package boot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// flushGrace bounds the last export of a stopping process; a collector that is away costs no more than this.
const flushGrace = 2 * time.Second

// startTraces exports spans of the global tracer provider to an OTLP/HTTP collector and reads and writes W3C
// `traceparent` headers. Without an endpoint it starts nothing, and spans cost nothing. A collector that is away is no
// error of the process: it shows as a warning in the log. The returned function sends what is left.
func startTraces(ctx context.Context, p *Process, endpoint string) (flush func(), err error) {
	if endpoint == "" {
		return func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("open OTLP exporter: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(resource.NewSchemaless(
		attribute.String("service.name", p.Name), attribute.String("service.version", p.Version))))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { p.Log.Warn("traces not exported", zap.Error(err)) }))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return func() {
		last, cancel := context.WithTimeout(context.Background(), flushGrace)
		defer cancel()
		if err := provider.Shutdown(last); err != nil {
			otel.Handle(err)
		}
	}, nil
}
