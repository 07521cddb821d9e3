"""Questions about food as nourishment, as people ask them: in full, in two words, with typing errors."""

from __future__ import annotations

QUESTIONS = """
How many calories are in a banana?
How much protein does a chicken breast have?
What should I eat to lose weight?
Is oatmeal a healthy breakfast?
Which foods are rich in iron?
Can I eat this if I have a gluten allergy?
Plan a low-carb dinner for a diabetic.
What are good vegan sources of vitamin B12?
How much sugar is in orange juice?
Is the ketogenic diet safe during pregnancy?
How much fibre do I need per day?
What can I cook that is low in salt and saturated fat?
Which food has the most protein?
What should a mother eat?
calories in bread
Write a vegan meal plan for the week.
Wie viele Kalorien hat das?
Welche Lebensmittel enthalten viele Vitamine?
Ist das gesund?
Was soll ich bei einer Diät essen?
Combien de calories y a-t-il ?
Combien de protéines contient la viande ?
Quels aliments sont bons pour la santé ?
Que manger pendant un régime ?
¿Cuántas calorías tiene?
¿Qué alimentos son saludables?
¿Qué debo comer para adelgazar?
Quante calorie ha?
Quali alimenti fanno bene?
Quantas calorias tem?
Que alimentos são saudáveis?
Hoeveel calorieën zitten erin?
Is dit eten gezond?
How many nutrients does a cheap meal have?
Which food is the healthiest?
How many calories are there in a slice of pizza?
How many calories should I have a day?
How many carbohydrates does a potato have?
How many eggs a week are healthy?
How many kilojoules does a croissant have?
How much salt is too much?
How much caffeine is safe per day?
How much fat is in peanut butter?
How much calcium do children need?
How much water should I drink?
How much vitamin C does a kiwi contain?
How much sugar is in ketchup?
How much fish should one eat per week?
How much protein do I need to build muscle?
How healthy is sourdough bread?
How do I get enough magnesium?
How do I eat less sugar?
How do I lose five kilos without going hungry?
How do I plan meals for somebody with diabetes?
How does fasting affect the body?
How can vegetarians get enough zinc?
What are good sources of folate?
What are the side effects of too much vitamin A?
What are the symptoms of a wheat allergy?
What are the ingredients of this soup, I'm allergic to celery?
What can I eat with an upset stomach?
What can I eat with kidney disease?
What can a vegan eat for breakfast?
What can I use instead of milk if I don't tolerate lactose?
What can I put in my child's lunchbox that is healthy?
What do you recommend for lunch on a low-fat diet?
What does a balanced meal look like?
What does the body need vitamin K for?
What foods help against constipation?
What foods contain gluten?
What foods lower blood pressure?
What foods raise blood sugar?
What is a good diet for gout?
What is the glycaemic index of white rice?
What is the healthiest cooking oil?
What is in a vegan sausage?
What is better for me, honey or sugar?
What nutrients do mushrooms have?
What should I eat after a workout?
What should I eat when I have a cold?
What should a diabetic avoid?
What should I feed a baby of eight months?
What should I cook tonight that's light and full of vegetables?
What's the difference between saturated and unsaturated fat?
What happens if I eat too little protein?
Which cheese is lowest in fat?
Which vegetables are high in iron?
Which bread has the most fibre?
Which fruit can I eat on a low-sugar diet?
Which grains are free of gluten?
Which foods are bad for the heart?
Which foods should I avoid while breastfeeding?
Which milk has the most protein?
Which drinks have no sugar?
Which is healthier, chicken or beef?
Which vitamins does a vegan lack?
Is coffee bad for you?
Is brown rice better for you than white rice?
Is it healthy to eat fruit in the evening?
Is red meat unhealthy?
Is this safe for somebody with a nut allergy?
Is there gluten in beer?
Is there milk in this bread?
Is peanut oil dangerous for people with allergies?
Is the Mediterranean diet good for the heart?
Is a low-carb diet dangerous?
Is dark chocolate good for you?
Is margarine vegan?
Is tuna high in mercury?
Is a smoothie a full meal?
Are eggs good for breakfast?
Are bananas fattening?
Are chickpeas rich in protein?
Are these biscuits free of nuts?
Are food supplements any use?
Are energy drinks harmful to teenagers?
Are sweet potatoes healthier than potatoes?
Do carrots contain a lot of sugar?
Do I get enough vitamin D from food?
Do pregnant women need more iodine?
Do athletes need more carbohydrates?
Does frozen spinach have less iron?
Does soy sauce contain wheat?
Does alcohol have calories?
Does fruit juice make you gain weight?
Does cooking destroy nutrients?
Can I eat bread on a keto diet?
Can I eat cheese when I'm pregnant?
Can I have grapefruit with my medicine?
Can people with coeliac disease eat oats?
Can too much protein harm the kidneys?
Can children be vegan?
Can you make me a diet plan for the week?
Can you suggest a meal with plenty of iron?
Could you tell me whether the sauce contains egg?
Should I take vitamins every day?
Should I count calories?
Should I eat before or after training?
Why is fibre important?
Why is salt bad for your health?
Why do I feel bloated after eating beans?
Suggest a dinner under 600 calories.
Suggest a healthy dessert without sugar.
Recommend a vegetarian dish rich in protein.
Give me a menu for a person with lactose intolerance.
Give me the nutrition facts of cashew nuts.
List foods with a lot of potassium.
Plan three meals a day with 1,800 calories.
Make a shopping list for a vegetarian week with enough protein.
Compare the vitamins in broccoli and spinach.
Tell me what to eat when training for a marathon.
I'm allergic to shellfish, what in this dish do I have to leave out?
I'm trying to put on weight, what should I eat?
I'm pregnant and want to know which fish is safe.
I'm always hungry an hour after breakfast.
I get a rash when I eat tomatoes.
I get stomach ache from milk.
I've been told to eat less fat.
I have high blood sugar and a sweet tooth.
I don't eat meat and my iron is low.
I need more fibre in what I eat.
I want to eat more healthily but don't know where to begin.
I would like a lunch without dairy.
I was wondering whether butter is that bad for the heart.
I feel weak when I leave out carbohydrates.
My father has gout, which meat may he still have?
My child eats nothing but noodles, is that a problem?
My wife is diabetic and loves fruit, how much of it is all right?
My triglycerides are too high.
We have a guest with a sesame allergy, what can we serve?
We're having friends over who are vegan, what could we serve them?
The doctor says I should lower my cholesterol, so what may I still eat for breakfast?
I've been on a low-calorie diet for three weeks and the scales don't move any more; am I eating too little?
Since I turned fifty I've been gaining weight although I eat as I always did, so I wonder how many calories I really \
need.
The label says 12 g of sugar and 3 g of fibre for every 100 g, is that good or bad?
Our son plays football four evenings a week and comes home starving, and I'd like to give him something better than \
crisps.
calories in rice
calories boiled egg
sugar content mango
vitamin b12 foods
nutrition facts oatmeal
gluten free breakfast
low carb snacks
high protein vegetarian meals
vegan diet plan
foods for anemia
foods to avoid with reflux
healthy lunch ideas
is quinoa good for you
lactose intolerance what to eat
nut allergy snacks
mediterranean diet menu
diet for high blood pressure
intermittent fasting 16 8
macros chicken breast
fat in salmon
salt per day
vegan calcium
potassium rich
fibre
how many calroies in an aple
protien in milk
helthy brekfast
what to eat for loosing wieght
is chese bad for colesterol
vegiterian diner ideas
alergic to nutts what can i eat
vitamins in oranges
Is the cheap margarine worse for me than butter?
Is expensive mineral water any healthier?
Are cheap sausages full of fat?
Do discount vegetables have fewer vitamins?
Does the budget muesli contain nuts?
What can I eat on a small budget and still get enough protein?
Which has more iron, the cheaper or the dearer cut of beef?
Compare the calories of the two burgers on the menu.
Which of the ready meals on offer has the least salt?
How many calories does the five-euro lunch have?
Wie viel Zucker ist in Cola?
Wie viele Kohlenhydrate haben Kartoffeln?
Welches Obst hat wenig Zucker?
Was kann ich bei Laktoseintoleranz essen?
Ist Butter ungesund?
Enthält die Soße Gluten?
Wie ernähre ich mich gesund?
Was soll ich zum Abnehmen essen?
Kalorien Banane
Was dürfen Diabetiker essen?
Combien de sucre y a-t-il dans ce jus ?
Est-ce que le chocolat est mauvais pour la santé ?
Quels fruits sont riches en vitamines ?
Que peut-on manger quand on est allergique au gluten ?
Quel petit déjeuner pour perdre du poids ?
Est-ce que ce plat contient des noix ?
Je suis végétarien, où trouver des protéines ?
régime sans sel
¿Cuántas proteínas tiene el pollo?
¿Es bueno el café para la salud?
¿Qué frutas tienen poco azúcar?
¿Qué puede comer un diabético?
¿Lleva gluten esta salsa?
¿Qué desayuno es saludable?
Soy intolerante a la lactosa, ¿qué puedo tomar?
calorías del arroz
Quante calorie ci sono nel pane?
Cosa posso mangiare a dieta?
Il burro fa male?
Quali cibi sono ricchi di ferro?
Sono allergico alle noci, cosa posso mangiare?
Questo piatto contiene latte?
Quanto açúcar tem este sumo?
O que posso comer para emagrecer?
Que alimentos são ricos em ferro?
Sou alérgico ao leite, o que posso comer?
O pão faz mal à saúde?
Hoeveel eiwit zit er in een ei?
Wat kan ik eten als ik wil afvallen?
Welke groenten hebben veel vitamine C?
Zit er gluten in dit brood?
Is boter ongezond?
"""
