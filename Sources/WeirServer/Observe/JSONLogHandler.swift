package import Logging

import Weir
import WeirHTTP

/// Writes each log event as one line of JSON.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level = .info
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let writer: LineWriter

    /// - Parameters:
    ///   - label: the logger's name.
    ///   - writer: writes the lines.
    package init(label: String, writer: LineWriter) {
        self.label = label
        self.writer = writer
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let own = event.metadata { fields.merge(own) { $1 } }
        var line = JSONLine()
        line.add("time", TimeText.text(of: SystemClock().timestamp))
        line.add("level", event.level.rawValue)
        line.add("logger", label)
        line.add("message", event.message.description)
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) { line.add(key, json: Self.json(value)) }
        writer.write(line.ended())
    }

    private static func json(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): ProblemDetails.quote(text)
        case .stringConvertible(let value):
            (value as? any BinaryInteger).map { "\($0)" } ?? ProblemDetails.quote(value.description)
        case .array(let values): "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let values):
            "{" + values.map { ProblemDetails.quote($0.key) + ":" + json($0.value) }.joined(separator: ",") + "}"
        }
    }
}
