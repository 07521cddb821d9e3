# Applies everything to moto, looks, and destroys. Overridden is only what moto 5.2 has not, or cannot remove again; and
# the database, for whose changes the provider waits minutes (with moto's it was made once by hand).
override_resource {
  target = module.data.aws_db_instance.this
  values = { arn = "arn:aws:rds:us-east-1:123456789012:db:atrium-moto" }
}
override_resource {
  target = module.data.aws_elasticache_user.atrium
}
override_resource {
  target = module.data.aws_elasticache_user_group.this
}
override_resource {
  target = module.data.aws_elasticache_parameter_group.this
}
override_resource {
  target = module.data.aws_elasticache_subnet_group.this
}
override_resource {
  target = module.data.aws_elasticache_replication_group.this
}
override_resource {
  target = module.backup.aws_backup_selection.postgres
}
override_resource {
  target = module.backup.aws_backup_selection.objects
}
override_resource {
  target = module.backup.aws_backup_restore_testing_plan.this
}
override_resource {
  target = module.backup.aws_backup_restore_testing_selection.postgres
}
override_resource {
  target = module.backup.aws_backup_restore_testing_selection.objects
}

run "everything_is_made" {
  command = apply

  assert {
    condition     = module.data.objects_bucket == "atrium-moto-123456789012"
    error_message = "the bucket is named after the environment and the account"
  }
}
