package ledger

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the version that this program reads and writes: the number
// of files in migrations, named 0001.sql and up.
const schemaVersion = 2

// migration returns the SQL that leads to a version, in a database's dialect:
// what an automatic id is declared as, and the collation that sorts by bytes.
func migration(version int, id, bytes string) (string, error) {
	text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", version))
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{{id}}", id, "{{bytes}}", bytes).Replace(string(text)), nil
}

// execer is a connection or transaction that runs statements.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// migrate runs the migrations after version, inside the caller's transaction.
func migrate(ctx context.Context, on execer, version int, id, bytes string) error {
	for version++; version <= schemaVersion; version++ {
		text, err := migration(version, id, bytes)
		if err != nil {
			return err
		}
		for statement := range strings.SplitSeq(text, ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := on.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("bring the schema to version %d: %w", version, err)
			}
		}
	}
	return nil
}

// checkVersion refuses a schema that this program does not know.
func checkVersion(version int) error {
	if version > schemaVersion {
		return fmt.Errorf("its schema is version %d, this program knows %d: %w", version, schemaVersion, ErrNewerSchema)
	}
	return nil
}
