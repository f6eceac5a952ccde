"""What the site lets happen, and when: approvals, pauses, overrides, holds, and the log of who decided.

What people said is in the store; deciding is pure. The modules, from the gate outwards:

    gate.py         every change is asked about here before it begins
    hold.py         may it begin now? pure
    settle.py       what becomes of consent as time goes on and other things are wanted; pure
    summary.py      what would change; pure
    approvals.py    what a person has to agree to, and what they said
    wishes.py       a pause of all changes; "now, in spite of everything"; another try
    holds.py        what the last round did not let begin
    audit.py        who did what on this device
    durations.py    how long changes took
    safekeeping.py  what is not to be forgotten when the database is lost
    file_drop.py    approvals by file; answers.py: what stands in the files
    report.py       all of it, for the fleet manager
"""
