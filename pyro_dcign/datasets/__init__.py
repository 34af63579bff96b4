"""Data sets: the store on disk, what fills it, and the schedule that draws from it."""
