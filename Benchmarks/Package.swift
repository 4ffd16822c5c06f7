// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "weir", path: "..")],
    targets: [
        // Counts allocations, for `Decisions allocations`.
        .target(name: "CAllocations"),
        .executableTarget(
            name: "Decisions",
            dependencies: [
                "CAllocations", .product(name: "Weir", package: "weir"), .product(name: "WeirHTTP", package: "weir"),
            ],
            swiftSettings: [.swiftLanguageMode(.v6)]
        ),
    ]
)
