"""Motion of a whole take: tracks of both hands, outliers, gaps, smoothing, bone rotations and corrective shapes."""
