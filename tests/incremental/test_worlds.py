"""The campaign over random worlds tells an edit that goes unseen; alone it takes too long to stand here.

It is `python tests/campaigns/worlds.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"


def test_the_campaign_would_notice_a_project_that_sees_nothing() -> None:
    """Records that never differ let edits go unseen, and the campaign says so."""
    blind = "from otrainer.storage import records; records.reasons = lambda *given, **more: iter(()); import worlds; "
    path = f"import sys; sys.path.insert(0, {str(CAMPAIGNS)!r}); "
    code = f"{path}sys.argv[1:] = ['--edits', '3', '--only', 'helper']; {blind}sys.exit(worlds.main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG unseen: " in done.stdout
