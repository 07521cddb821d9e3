# CPU nodes are a managed group: they carry the services, coredns and Karpenter, which makes the GPU nodes.
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.name
}

# Two roles, the same rights: join, and pull images. Pods have roles of their own, vpc-cni too.
resource "aws_iam_role" "node" {
  for_each = toset(["node", "karpenter-node"])

  name = "${var.name}-${each.key}"
  tags = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = {
    for pair in setproduct(["node", "karpenter-node"], ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"]) :
    join("/", pair) => { role = pair[0], policy = pair[1] }
  }

  role       = aws_iam_role.node[each.value.role].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value.policy}"
}

resource "aws_launch_template" "cpu" {
  name                   = "${var.name}-cpu"
  update_default_version = true
  vpc_security_group_ids = [var.node_security_group_id]
  tags                   = var.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # no pod reaches the node's role
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume", "network-interface"]
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-cpu" })
    }
  }
}

resource "aws_eks_node_group" "cpu" {
  cluster_name    = var.cluster_name
  node_group_name = "${var.name}-cpu"
  node_role_arn   = aws_iam_role.node["node"].arn
  subnet_ids      = var.private_subnet_ids
  ami_type        = "AL2023_x86_64_STANDARD"
  capacity_type   = "ON_DEMAND"
  instance_types  = var.instance_types
  labels          = { "atrium.dev/node" = "cpu" }
  tags            = var.tags

  launch_template {
    id      = aws_launch_template.cpu.id
    version = aws_launch_template.cpu.latest_version
  }

  scaling_config {
    min_size     = var.min_size
    desired_size = var.desired_size
    max_size     = var.max_size
  }

  # One at a time, and as long as the pods' budgets and drains ask for.
  update_config {
    max_unavailable = 1
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}
