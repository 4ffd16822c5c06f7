#pragma once
/// How often the program has allocated memory.
unsigned long allocations(void);
