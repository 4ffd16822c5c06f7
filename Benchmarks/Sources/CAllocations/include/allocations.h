#pragma once
/// Starts counting. It never stops.
void count_allocations(void);
/// How many times the program has allocated memory since counting started.
unsigned long allocations(void);
