//! A disk for this room's tests: files in memory, and nothing else. What a crash leaves is the simulator's business.
