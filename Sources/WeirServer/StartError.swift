import Foundation
import NIOCore

/// Why the server can't start. Its message is fit to be shown.
package struct StartError: Error, Sendable, CustomStringConvertible {
    package struct Code: RawRepresentable, Sendable, Hashable {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        /// There is no upstream, or it isn't a URL.
        package static let noUpstream = Code(rawValue: "no_upstream")
        /// An address can't be listened on.
        package static let cannotListen = Code(rawValue: "cannot_listen")
    }

    package let code: Code
    package let message: String
    package let cause: (any Error)?

    package var description: String { message }

    init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }
}

extension StartError {
    /// An address that can't be listened on, with the system's words for the reason.
    package init(cannotListenOn address: String, _ error: any Error) {
        let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
        self.init(.cannotListen, "can't listen on \(address): \(reason)", cause: error)
    }
}
