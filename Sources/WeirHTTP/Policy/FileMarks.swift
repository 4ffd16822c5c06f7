import Foundation

/// When each of some files last changed, as far as the file system tells.
package struct FileMarks: Equatable {
    private var marks: [String: String] = [:]

    /// Looks at files. Links are followed, because certificates are often replaced by changing a link.
    package init(of files: [String]) {
        for file in files {
            let target = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
            let attributes = try? FileManager.default.attributesOfItem(atPath: target)
            let date = (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            marks[file] = "\(date) \(attributes?[.size] ?? 0) \(attributes?[.systemFileNumber] ?? 0)"
        }
    }

    /// Looks at files every second until the task is cancelled. That works on every file system, and for files that are
    /// replaced by renaming.
    ///
    /// - Parameters:
    ///   - files: the files to look at. They may differ after a change.
    ///   - changed: called when one of them has changed.
    package static func watch(_ files: () -> [String], changed: () async -> Void) async {
        var seen = FileMarks(of: files())
        while (try? await Task.sleep(for: .seconds(1))) != nil {
            guard FileMarks(of: files()) != seen else { continue }
            // The file may still be being written; wait until it has stopped changing.
            guard (try? await Task.sleep(for: .milliseconds(100))) != nil else { return }
            // The marks are taken before the files are read, so that a change meanwhile is noticed the next time. Files
            // that are named only now have none yet.
            let before = FileMarks(of: files())
            await changed()
            seen = FileMarks(of: files())
            seen.prefer(before)
        }
    }

    /// Takes earlier marks for files that have some, so that a change in between is noticed the next time.
    private mutating func prefer(_ earlier: FileMarks) {
        marks.merge(earlier.marks.filter { marks[$0.key] != nil }) { $1 }
    }
}

extension RequestLimiter {
    /// What a reload of the policy means for the counters, in a line for each limit.
    package func reloadNotices(since old: RequestLimiter) -> [String] {
        limitsStartingAfresh(since: old).map {
            "the limit '\($0)' starts afresh: its algorithm, key or period has changed"
        }
            + limitsAdded(since: old).map {
                "the limit '\($0)' is new, so its counters start at zero; a renamed limit is a new one"
            }
    }
}
