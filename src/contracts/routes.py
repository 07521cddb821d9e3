"""The intents that every tenant has without configuring any. A tenant's own routes come beside them."""

from __future__ import annotations

from contracts.chat import Route

GENERAL = "GENERAL"
"""Where a query goes that resembles no route's examples."""

BUILT_IN_ROUTES: tuple[Route, ...] = (
    Route(
        name=GENERAL,
        description="Any question that belongs to no other route.",
        system_prompt="You are a helpful assistant.",
    ),
    Route(
        name="PRICE_COMPARE",
        description="Prices: what something costs, where it is cheaper, deals and value for money.",
        examples=(
            "How much does it cost?",
            "What is the price of this laptop?",
            "Which store sells this product cheapest?",
            "Compare the prices of these two phones.",
            "Is there a discount on washing machines this week?",
            "Where can I buy headphones for less than 100 dollars?",
            "Which of these two offers is the better deal?",
            "Show me the best value television under 500 euros.",
            "Is the premium plan worth the extra money?",
            "Find a cheaper alternative to this coffee machine.",
            "What did this camera cost last month, and has it gone down?",
            "How much is shipping if I order online?",
        ),
        system_prompt="You compare prices for a shopper. Name each price with its product and shop.",
        tools=("mcp_catalog",),
    ),
    Route(
        name="DIET_NUTRITION",
        description="Food as nourishment: calories, nutrients, diets, allergies and what to eat.",
        examples=(
            "How many calories are in a banana?",
            "How much protein does a chicken breast have?",
            "What should I eat to lose weight?",
            "Is oatmeal a healthy breakfast?",
            "Which foods are rich in iron?",
            "Can I eat this if I have a gluten allergy?",
            "Plan a low-carb dinner for a diabetic.",
            "What are good vegan sources of vitamin B12?",
            "How much sugar is in orange juice?",
            "Is the ketogenic diet safe during pregnancy?",
            "How much fibre do I need per day?",
            "What can I cook that is low in salt and saturated fat?",
        ),
        system_prompt="You give clear, careful facts about food and nutrition. You do not replace a doctor.",
        tools=("mcp_nutrition",),
    ),
)
