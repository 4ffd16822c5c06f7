#pragma once
/// Begins to count, for good.
void count_allocations(void);
/// How often the program has allocated memory since it began to count.
unsigned long allocations(void);
