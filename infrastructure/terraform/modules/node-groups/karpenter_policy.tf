# It may make, tag and end instances, launch templates and instance profiles that carry this cluster's tag and a node
# pool's, pass them its nodes' role, and read what there is to choose from.
locals {
  ec2       = "arn:aws:ec2:${local.region}"
  profiles  = "arn:aws:iam::${local.account}:instance-profile/*"
  owned_tag = "kubernetes.io/cluster/${var.cluster_name}"
  made = [
    for kind in ["fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request"] :
    "${local.ec2}:${local.account}:${kind}/*"
  ]

  request_is_ours = {
    StringEquals = {
      "aws:RequestTag/${local.owned_tag}"   = "owned"
      "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name
    }
    StringLike = { "aws:RequestTag/karpenter.sh/nodepool" = "*" }
  }
  resource_is_ours = {
    StringEquals = { "aws:ResourceTag/${local.owned_tag}" = "owned" }
    StringLike   = { "aws:ResourceTag/karpenter.sh/nodepool" = "*" }
  }
  profile_requested = {
    "aws:RequestTag/${local.owned_tag}"            = "owned"
    "aws:RequestTag/eks:eks-cluster-name"          = var.cluster_name
    "aws:RequestTag/topology.kubernetes.io/region" = local.region
  }
  profile_is_ours = {
    "aws:ResourceTag/${local.owned_tag}"            = "owned"
    "aws:ResourceTag/topology.kubernetes.io/region" = local.region
  }

  karpenter_statements = [
    {
      Sid    = "LaunchFromTheseParts"
      Action = ["ec2:RunInstances", "ec2:CreateFleet"]
      Resource = concat(
        ["${local.ec2}::image/*", "${local.ec2}::snapshot/*", "${local.ec2}:${local.account}:capacity-reservation/*"],
        ["${local.ec2}:${local.account}:security-group/${var.node_security_group_id}"],
        [for id in var.private_subnet_ids : "${local.ec2}:${local.account}:subnet/${id}"],
      )
    },
    {
      Sid       = "LaunchByOwnTemplates"
      Action    = ["ec2:RunInstances", "ec2:CreateFleet"]
      Resource  = ["${local.ec2}:${local.account}:launch-template/*"]
      Condition = local.resource_is_ours
    },
    {
      Sid       = "MakeWhatIsTaggedOurs"
      Action    = ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"]
      Resource  = local.made
      Condition = local.request_is_ours
    },
    {
      Sid      = "TagWhatIsMade"
      Action   = ["ec2:CreateTags"]
      Resource = local.made
      Condition = merge(local.request_is_ours, {
        StringEquals = merge(local.request_is_ours.StringEquals, {
          "ec2:CreateAction" = ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]
        })
      })
    },
    {
      Sid      = "NameOwnInstances"
      Action   = ["ec2:CreateTags"]
      Resource = ["${local.ec2}:${local.account}:instance/*"]
      Condition = merge(local.resource_is_ours, {
        StringEqualsIfExists        = { "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name }
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"] }
      })
    },
    {
      Sid       = "EndOwn"
      Action    = ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"]
      Resource  = ["${local.ec2}:${local.account}:instance/*", "${local.ec2}:${local.account}:launch-template/*"]
      Condition = local.resource_is_ours
    },
    {
      Sid       = "GiveNodesTheirRole"
      Action    = ["iam:PassRole"]
      Resource  = [aws_iam_role.node["karpenter-node"].arn]
      Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
    },
    {
      Sid      = "MakeOwnProfiles"
      Action   = ["iam:CreateInstanceProfile"]
      Resource = [local.profiles]
      Condition = {
        StringEquals = local.profile_requested
        StringLike   = { "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
      }
    },
    {
      Sid      = "TagOwnProfiles"
      Action   = ["iam:TagInstanceProfile"]
      Resource = [local.profiles]
      Condition = {
        StringEquals = merge(local.profile_is_ours, local.profile_requested)
        StringLike = {
          "aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass" = "*"
          "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass"  = "*"
        }
      }
    },
    {
      Sid      = "ChangeOwnProfiles"
      Action   = ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"]
      Resource = [local.profiles]
      Condition = {
        StringEquals = local.profile_is_ours
        StringLike   = { "aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
      }
    },
    {
      Sid      = "ReadProfiles"
      Action   = ["iam:GetInstanceProfile"]
      Resource = [local.profiles]
    },
    {
      Sid      = "HearOfInterruptions"
      Action   = ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
      Resource = [aws_sqs_queue.interruptions.arn]
    },
    {
      Sid      = "FindTheApiServer"
      Action   = ["eks:DescribeCluster"]
      Resource = ["arn:aws:eks:${local.region}:${local.account}:cluster/${var.cluster_name}"]
    },
    {
      Sid      = "FindImages"
      Action   = ["ssm:GetParameter"]
      Resource = ["arn:aws:ssm:${local.region}::parameter/aws/service/*"]
    },
    {
      Sid = "ReadWhatThereIs" # describing knows no resources
      Action = [
        "ec2:DescribeCapacityReservations", "ec2:DescribeImages", "ec2:DescribeInstances",
        "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes",
        "ec2:DescribeLaunchTemplates", "ec2:DescribeSecurityGroups", "ec2:DescribeSpotPriceHistory",
        "ec2:DescribeSubnets",
      ]
      Resource  = ["*"]
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "ReadPricesAndProfiles" # likewise
      Action   = ["pricing:GetProducts", "iam:ListInstanceProfiles"]
      Resource = ["*"]
    },
  ]

  karpenter_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in local.karpenter_statements : merge(statement, { Effect = "Allow" })]
  })
}
