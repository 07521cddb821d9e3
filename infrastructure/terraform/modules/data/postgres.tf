# tenants, keys, ledger, audit, conversations, documents, chunks: acknowledged means committed here.

locals {
  postgres_major = split(".", var.postgres_version)[0]
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.data_subnet_ids
  tags       = var.tags
}

resource "aws_security_group" "postgres" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL of ${var.name}: from the nodes, to nowhere"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "postgres" {
  for_each = local.clients

  security_group_id            = aws_security_group.postgres.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "Services and migrations"
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres${local.postgres_major}"
  family      = "postgres${local.postgres_major}"
  description = "PostgreSQL of ${var.name}"
  tags        = var.tags

  dynamic "parameter" {
    for_each = {
      "rds.force_ssl"                       = "1"
      "log_statement"                       = "ddl"
      "log_min_duration_statement"          = "1000"
      "log_parameter_max_length"            = "0" # values are tenants' texts: statements are logged without
      "log_parameter_max_length_on_error"   = "0"
      "log_connections"                     = "1"
      "log_disconnections"                  = "1"
      "idle_in_transaction_session_timeout" = "60000" # ms: a service's transaction takes seconds
    }

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_293: deletion_protection is a variable, on by default and in production (test_terraform_text.py)
  #checkov:skip=CKV_AWS_157: multi_az is a variable, on by default and in production; dev saves the standby
  identifier                          = var.name
  engine                              = "postgres"
  engine_version                      = var.postgres_version
  instance_class                      = var.instance_class
  db_name                             = "atrium"
  username                            = "atrium_master"
  manage_master_user_password         = true # RDS makes it, keeps it in Secrets Manager, and replaces it every week
  master_user_secret_kms_key_id       = aws_kms_key.this.key_id
  iam_database_authentication_enabled = true # for people with a role; the services have passwords of their own

  allocated_storage     = var.allocated_storage_gb
  max_allocated_storage = 5 * var.allocated_storage_gb
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.this.arn

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.postgres.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period   = var.backup_retention_days
  backup_window             = "03:00-04:00" # UTC
  maintenance_window        = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = var.force_destroy
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = var.force_destroy
  final_snapshot_identifier = var.force_destroy ? null : "${var.name}-final"

  auto_minor_version_upgrade            = true
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.this.arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  tags                                  = var.tags

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.monitoring]
}

resource "aws_iam_role" "monitoring" {
  name        = "${var.name}-rds-monitoring"
  description = "RDS tells CloudWatch of the host of ${var.name}"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
