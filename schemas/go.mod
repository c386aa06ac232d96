module orderflow/schemas

go 1.26.0
