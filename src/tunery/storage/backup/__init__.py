"""Backups of a whole home: database, packs and dataset tables, at a place of their own.

    key.json                  the backup's key, wrapped by the master key
    manifests/<backup id>     what a backup consists of, with a checksum that only the key can make
    chunks/<hash>             sealed pieces of the database's dump and of dataset tables, each kept once
    packs/<tenant>/<pack>     packs of the store as they are; a mirror that ``store check --repair`` can use

The dump comes first, in one snapshot; then the packs that it names, and the tables. A pack that collection took in
between makes the backup begin anew. Packs taken later hurt nobody: before their keys are destroyed, the packs that took
over are copied here, and ``restore`` finds in those what the index still seeks in the others. Wrapped keys are never
here: what was destroyed since stays unreadable. Crash: the manifest is written last, and what none names goes a day
later. Tenants: a backup is of all, so only the operator's tenant makes one. Next year's schema: ``schema``.
"""
