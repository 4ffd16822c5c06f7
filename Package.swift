// swift-tools-version: 6.2
import PackageDescription

let engine: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
]
// The engine goes without this: where a module uses `Duration.components`, Swift 6.3 takes Glibc's `timespec` for a
// member of a module that can't be imported.
let strict = engine + [.enableUpcomingFeature("MemberImportVisibility")]

let package = Package(
    name: "weir",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Weir", targets: ["Weir"]),
        .library(name: "WeirHTTP", targets: ["WeirHTTP"]),
        .library(name: "WeirHummingbird", targets: ["WeirHummingbird"]),
        .library(name: "WeirJWT", targets: ["WeirJWT"]),
        .library(name: "WeirRedis", targets: ["WeirRedis"]),
        .library(name: "WeirTesting", targets: ["WeirTesting"]),
        .executable(name: "weir", targets: ["WeirCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-http-structured-headers", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        // The engine: standard library, Synchronization and libc only.
        .target(name: "Weir", swiftSettings: engine),
        .target(
            name: "WeirHTTP",
            dependencies: [
                "Weir",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "StructuredFieldValues", package: "swift-http-structured-headers"),
                .product(name: "RawStructuredFieldValues", package: "swift-http-structured-headers"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict
        ),
        // Nothing of the gateway's: an app builds this, Hummingbird and what both stand on.
        .target(
            name: "WeirHummingbird",
            dependencies: [
                "WeirHTTP",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "WeirJWT",
            dependencies: ["WeirHTTP", .product(name: "JWTKit", package: "jwt-kit")],
            swiftSettings: strict
        ),
        .target(
            name: "WeirRedis",
            dependencies: [
                "Weir",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "WeirServer",
            dependencies: [
                "WeirHTTP",
                "WeirJWT",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: strict
        ),
        // Never on a request's path.
        .target(
            name: "WeirAdmin",
            dependencies: [
                "WeirServer", "WeirHTTP",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        // Logs against a policy.
        .target(name: "WeirReplay", dependencies: ["WeirHTTP"], swiftSettings: strict),
        .target(name: "WeirTesting", dependencies: ["Weir"], swiftSettings: strict),
        .executableTarget(
            name: "WeirCLI",
            dependencies: [
                "WeirAdmin",
                "WeirReplay",
                "WeirServer",
                "WeirRedis",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict
        ),
        // The patterns that people build by hand, done with Weir.
        .executableTarget(
            name: "Examples",
            dependencies: [
                "WeirHummingbird", "WeirRedis", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ], path: "Examples/App", swiftSettings: strict),
        // One of several processes that ask one store.
        .executableTarget(
            name: "StoreProbe",
            dependencies: [
                "WeirRedis", "Weir", .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], path: "Tests/StoreProbe", swiftSettings: strict),
        // What starts and stops the programs that tests need.
        .target(
            name: "TestSupport",
            dependencies: [
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(name: "WeirTests", dependencies: ["Weir", "WeirTesting"], swiftSettings: strict),
        // Sees what anybody sees: a store can be written without Weir's internals.
        .testTarget(
            name: "OtherStoreTests", dependencies: ["Weir", "WeirTesting"], packageAccess: false,
            swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests", dependencies: ["WeirCLI", "TestSupport"], exclude: ["Clients", "Upstreams"],
            swiftSettings: strict),
        .testTarget(
            name: "WeirJWTTests",
            dependencies: ["WeirJWT", "WeirTesting", .product(name: "JWTKit", package: "jwt-kit")],
            swiftSettings: strict),
        .testTarget(
            name: "WeirRedisTests",
            dependencies: [
                "TestSupport", "StoreProbe", "WeirRedis", "WeirHTTP", "WeirTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .testTarget(
            name: "WeirHummingbirdTests",
            dependencies: [
                "WeirHummingbird", "WeirServer", "WeirJWT", "WeirTesting", "TestSupport",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdRouter", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ExamplesTests",
            dependencies: [
                "Examples", "TestSupport", "WeirTesting", "WeirRedis",
                .product(name: "Hummingbird", package: "hummingbird"),
            ], swiftSettings: strict),
        .testTarget(
            name: "WeirServerTests",
            dependencies: [
                "WeirServer", "WeirTesting", "TestSupport",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .testTarget(name: "WeirHTTPTests", dependencies: ["WeirHTTP", "WeirTesting"], swiftSettings: strict),
    ]
)
