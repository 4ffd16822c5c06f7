/// An answer of Weir's own, ready to be sent: a status, header fields without framing, and a body.
package struct Answer: Sendable {
    package var status: Int
    /// Names and values.
    package var fields: [(String, String)] = []
    /// Text, maybe empty.
    package var body: String
}

extension LimitedRequest {
    /// The answer that tells a problem: with the headers about limits, and those by which a page of another origin may
    /// read it.
    package func answer(_ problem: ProblemDetails) -> Answer {
        var answer = Answer(status: problem.status, body: limiter.policy.headers.problem ? problem.json : "")
        answer.fields.reserveCapacity(12)
        if !answer.body.isEmpty { answer.fields.append(("Content-Type", ProblemDetails.mediaType)) }
        writeHeaders { answer.fields.append(($0, $1)) }
        writeCrossOriginHeaders { answer.fields.append(($0, $1)) }
        return answer
    }

    /// Writes the headers by which a page of another origin may read an answer of Weir's own.
    ///
    /// - Parameter add: takes a header's name and value.
    public func writeCrossOriginHeaders(to add: (String, String) -> Void) {
        guard let origin else { return }
        let settings = limiter.policy.headers
        add("Access-Control-Allow-Origin", origin)
        add("Vary", "Origin")
        add(
            "Access-Control-Expose-Headers",
            "Retry-After, \(settings.rateLimitName), \(settings.rateLimitPolicyName), \(settings.limitName), "
                + "\(settings.remainingName), \(settings.resetName)")
    }
}
