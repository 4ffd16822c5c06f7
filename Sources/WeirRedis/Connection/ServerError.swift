import Weir

/// A server's error reply, and what it means for the operations that received it.
struct ServerError: Error, Hashable, CustomStringConvertible {
    enum Kind: Hashable {
        /// The server doesn't have the script; nothing was executed.
        case noScript
        /// Another node serves the slot; nothing was executed.
        case moved(slot: Int, host: String, port: Int)
        /// The key has already moved to another node; nothing was executed.
        case ask(host: String, port: Int)
        /// The server can't execute it now; nothing was executed.
        case tryAgain
        /// The slot has no master at the moment; nothing was executed.
        case clusterDown
        /// This server may not write, or no longer: another is the master.
        case readOnly
        /// The user or password is wrong, or the user lacks a permission.
        case denied
        case other
    }

    let kind: Kind
    /// The server's own text. It may name keys.
    let message: String

    /// A short name, safe as a metric label.
    var code: String {
        switch kind {
        case .noScript: "no_script"
        case .moved: "moved"
        case .ask: "ask"
        case .tryAgain: "try_again"
        case .clusterDown: "cluster_down"
        case .readOnly: "read_only"
        case .denied: "denied"
        case .other: "other"
        }
    }

    var description: String { message }

    /// What a replica would answer to a write.
    static let readOnly = ServerError("READONLY You can't write against a read only replica.")

    init(_ text: String) {
        message = text
        kind = Kind(text)
    }

    /// The failure to report. Its message contains no key and no password.
    var failure: StoreError {
        switch kind {
        case .noScript, .moved, .ask, .tryAgain:
            StoreError(.unavailable, "the server is busy, or its slots are being moved")
        case .clusterDown: StoreError(.unavailable, "the cluster is down")
        case .readOnly: StoreError(.rejected, "the server is a read-only replica")
        case .denied where message.contains("unauthenticated") || message.hasPrefix("NOAUTH"):
            StoreError(.rejected, "the server wants a password: redis://:${REDIS_PASSWORD}@host:port")
        case .other where message.contains("max number of clients"):
            StoreError(.unavailable, "the server has too many clients")
        case .denied, .other: StoreError(.rejected, String(message.prefix(200).filter { !$0.isNewline }))
        }
    }
}

extension ServerError.Kind {
    fileprivate init(_ text: String) {
        let words = text.split(separator: " ")
        switch words.first {
        case "NOSCRIPT": self = .noScript
        case "MOVED", "ASK":
            guard words.count == 3, let slot = Int(words[1]), (0..<16384).contains(slot),
                let colon = words[2].lastIndex(of: ":"), let port = Int(words[2][words[2].index(after: colon)...]),
                (1...65535).contains(port)
            else {
                self = .other
                return
            }
            let host = String(words[2][..<colon])
            self = words[0] == "MOVED" ? .moved(slot: slot, host: host, port: port) : .ask(host: host, port: port)
        case "TRYAGAIN", "LOADING", "BUSY": self = .tryAgain
        case "CLUSTERDOWN", "MASTERDOWN": self = .clusterDown
        case "READONLY": self = .readOnly
        case "NOAUTH", "WRONGPASS", "NOPERM": self = .denied
        default:
            // A script that met one of these passes it on inside its own error.
            if text.contains("READONLY") {
                self = .readOnly
            } else if text.contains("invalid username-password") || text.contains("unauthenticated")
                || text.contains("invalid password")
            {
                self = .denied
            } else {
                self = .other
            }
        }
    }
}
