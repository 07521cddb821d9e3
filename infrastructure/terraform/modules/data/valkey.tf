# Limits, reservations, leases, the change feed, copies of sessions. Nothing billed or promised is lost with it, so there
# are no snapshots: one would bring back the leases of processes long gone. But nothing may go silently either: a lease or
# a counter that is evicted is a limit that does not hold, so a full Valkey refuses (maxmemory-policy noeviction).
# Not in cluster mode: the services speak to one primary (src/stores/valkey.py).

locals {
  valkey_user = "${var.name}-atrium"
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.data_subnet_ids
  tags       = var.tags
}

resource "aws_security_group" "valkey" {
  name        = "${var.name}-valkey"
  description = "Valkey of ${var.name}: from the nodes, to nowhere"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "valkey" {
  for_each = local.clients

  security_group_id            = aws_security_group.valkey.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  description                  = "The router"
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-valkey${split(".", var.valkey_version)[0]}"
  family      = "valkey${split(".", var.valkey_version)[0]}"
  description = "Valkey of ${var.name}"
  tags        = var.tags

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV2_AWS_50: failover follows multi_az, on by default and in production; dev has one node
  #checkov:skip=CKV_AWS_31:Users with passwords and rights (user_group_ids) in place of one token that may do everything
  replication_group_id = var.name
  description          = "Limits, leases and sessions of ${var.name}"
  engine               = "valkey"
  engine_version       = var.valkey_version
  node_type            = var.valkey_node_type
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this.name
  user_group_ids       = [aws_elasticache_user_group.this.user_group_id]

  num_cache_clusters         = 1 + var.valkey_replicas
  multi_az_enabled           = var.multi_az
  automatic_failover_enabled = var.multi_az

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.valkey.id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this.arn

  snapshot_retention_limit   = 0
  maintenance_window         = "sun:05:30-sun:06:30" # UTC
  auto_minor_version_upgrade = true
  apply_immediately          = true
  tags                       = var.tags

  # Its engine's log. Not the slow log: arguments of commands are in it, and those may be tenants' texts.
  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this["valkey"].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "engine-log"
  }
}
